"""Prompt sets as people have them: tables, chats, lines and other tools' files, read into prompts, with a word on what was made of what."""
