"""What people see of a run: in a terminal, a page, a merge request, a notebook; and its figures."""
