"""Code that nobody trusts, behind walls: what passes, what does not, and what it cannot do. Each attack is bounded where it stands, walls or none."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.answers import RIGHT
from support.processes import below

from evalkit.experiment.files.reading import read_prompts
from evalkit.sandbox.finding import NoSandboxError, proven, sandbox
from evalkit.sandbox.limits import Limits
from evalkit.sandbox.running import Sandbox, WallsError

LIMITS = Limits(seconds=1.0, memory_mb=256)
USES = Path(__file__).parents[2] / "evalkit/experiment/starter/uses"


@pytest.fixture(scope="module")
def walls() -> Iterator[Sandbox]:
    try:
        found = sandbox()
    except NoSandboxError as fault:
        pytest.skip(f"NO CODE IS RUN IN THESE TESTS: {fault}")
    yield found
    found.end()


GOOD = {
    "functions": ("def f(x):\n    return {x: [x, (x,)]}", "assert f(1) == {1: [1, (1,)]}\nassert isinstance(f(1), dict)"),
    "generators": ("def f(n):\n    yield from range(n)", "assert list(f(3)) == [0, 1, 2]\nassert next(f(1)) == 0\nassert not isinstance(f(1), list)"),
    "functions of the tests": ("def f(g, x):\n    return g(g(x))", "assert f(lambda x: x + 1, 1) == 3\nassert f(str.upper, 'a') == 'A'"),
    "their state": ("def f(g):\n    g(1)", "seen = []\nf(seen.append)\nassert seen == [1]"),
    "arguments that are changed": ("def f(x):\n    x.sort()", "x = [2, 1]\nf(x)\nassert x == [1, 2]"),
    "exceptions of Python": (
        "def f(x):\n    return int(x)",
        "try:\n    f('x')\nexcept ValueError as e:\n    assert 'x' in str(e)\nelse:\n    assert 0",
    ),
    "exceptions of its own": (
        "class E(LookupError):\n    pass\ndef f():\n    raise E('a', 7)",
        "try:\n    f()\nexcept E as e:\n    assert e.args == ('a', 7)\n    assert isinstance(e, LookupError)\nelse:\n    assert 0",
    ),
    "exceptions of the tests": (
        "def f(g):\n    try:\n        g()\n    except Exception:\n        raise",
        "class Own(Exception):\n    pass\ndef g():\n    raise Own\ntry:\n    f(g)\nexcept Own:\n    pass\nelse:\n    assert 0",
    ),
    "classes": (
        "class Stack:\n    def __init__(self):\n        self.all = []\n    def push(self, x):\n        self.all.append(x)\n    def __len__(self):\n"
        "        return len(self.all)\n    def __contains__(self, x):\n        return x in self.all",
        "s = Stack()\ns.push(1)\nassert len(s) == 1 and 1 in s and 2 not in s and s.all == [1] and isinstance(s, Stack)",
    ),
    "named tuples": ("from collections import namedtuple\nP = namedtuple('P', 'a b')", "assert P(1, 2) == (1, 2)\nassert P(1, 2).b == 2"),
    "numbers of its own": (
        "import enum\nclass N(enum.IntEnum):\n    TWO = 2\nclass Vector:\n    def __init__(self, x, y):\n        self.x, self.y = x, y\n"
        "    def __mul__(self, by):\n        return Vector(self.x * by, self.y * by)\n    def __abs__(self):\n"
        "        return (self.x**2 + self.y**2) ** 0.5",
        "assert N.TWO + 1 == 3 and 1 - N.TWO == -1 and abs(N.TWO - 5) == 3\nv = Vector(3, 4)\nassert abs(v) == 5 and abs(v * 2) == 10",
    ),
    "contexts": ("import contextlib\n@contextlib.contextmanager\ndef f():\n    yield 5", "with f() as x:\n    assert x == 5"),
    "dates": ("import datetime\ndef f():\n    return datetime.date(2024, 5, 31)", "import datetime\nassert f() == datetime.date(2024, 5, 31)"),
    "what is awaited": ("async def f(x):\n    return x", "async def test_it():\n    assert await f(1) == 1"),
    "test functions": ("def f(x):\n    return x", "def test_one():\n    assert f(1) == 1"),
    "annotations as they are": ("def f(x: int):\n    return f.__annotations__['x'](x)", "assert f('1') == 1"),
    "files of its own": ("def f():\n    open('a', 'w').write('b')\n    return open('a').read()", "assert f() == 'b'"),
    "what it prints": ("print('x' * 10)\ndef f():\n    return 1", "assert f() == 1"),
    "a guarded main": ("def f():\n    return 1\nif __name__ == '__main__':\n    input()", "assert f() == 1"),
}


@pytest.mark.parametrize("what", GOOD)
def test_right_code_passes(walls: Sandbox, what: str) -> None:
    assert walls.run(*GOOD[what], LIMITS)[:2] == (True, "")


WRONG = {
    "a wrong value": ("def f(x):\n    return x", "assert f(1) == 2", "AssertionError (tests, line 1: assert f(1) == 2)"),
    "no such function": ("x = 1", "assert f(1) == 2", "NameError"),
    "a mistake of grammar": ("def f(x:", "assert f(1)", "the answer raises SyntaxError"),
    "it ends well before the tests": ("import sys\nsys.exit(0)", "assert f(1)", "the answer raises SystemExit: 0"),
    "it ends at once before the tests": ("import os\nos._exit(0)", "assert f(1)", "ended by itself with status 0"),
    "it ends in the tests": (
        "def f(x):\n    import os\n    os._exit(0)",
        "try:\n    f(1)\nexcept BaseException:\n    pass",
        "ended by itself with status 0",
    ),
    "it leaves in the tests": ("def f(x):\n    raise SystemExit(0)", "assert f(1) == 1", "SystemExit: 0"),
    "equal to everything": (
        "class All:\n    def __eq__(self, other):\n        return True\n    def __ne__(self, other):\n        return False\n"
        "def f(x):\n    return All()",
        "assert f(1) == 1",
        "AssertionError",
    ),
    "near everything": (
        "class All:\n    def __lt__(self, other):\n        return True\n    def __sub__(self, other):\n        return self\n    def __abs__(self):\n"
        "        return self\ndef f(x):\n    return All()",
        "assert abs(f(1) - 1) < 1e-9",
        "TypeError: an object of the answer's own",
    ),
    "nothing less whatever is subtracted": (
        "class All(int):\n    def __sub__(self, other):\n        return 0\n    __rsub__ = __mod__ = __sub__\ndef f(x):\n    return All(7)",
        "assert abs(f(1) - 1) < 1e-9",
        "AssertionError",
    ),
    "nothing that is no number": (
        "class All:\n    def __sub__(self, other):\n        return 0\ndef f(x):\n    return All()",
        "assert abs(f(1) - 1) < 1e-9",
        "TypeError: an object of the answer's own",
    ),
    "a difference that says it is nothing": (
        "class All(int):\n    def __sub__(self, other):\n        return All(0)\ndef f(x):\n    return All(7)",
        "assert abs(f(1) - 1) < 1e-9",
        "TypeError: an object of the answer's own",
    ),
    "a set that has nothing else in it": (
        "class All:\n    def __sub__(self, other):\n        return set()\ndef f(x):\n    return All()",
        "assert not f(1) - {1}",
        "TypeError: an object of the answer's own",
    ),
    "a context that lets nothing fail": (
        "class All:\n    def __enter__(self):\n        return 0\n    def __exit__(self, *_):\n        return True\ndef f(x):\n    return All()",
        "with f(1) as x:\n    assert x == 1",
        "AssertionError",
    ),
    "half a character": ("def f(x):\n    raise ValueError('\\ud800')", "f(1)", "ValueError: \\ud800 (tests, line 1: f(1))"),
    "memory that no limit counts": (
        "import os\nfile = os.memfd_create('x')",
        "assert file",
        "the answer raises PermissionError",
    ),
    "Python's own replaced": (
        "import builtins\nsorted = builtins.sorted = builtins.isinstance = lambda *_: [1]\nf = sorted",
        "assert f(1) == sorted([2, 1])",
        "",
    ),
    "a verdict written wherever it can": (
        "import os\nfor fd in range(64):\n    try:\n        os.write(fd, bytes([0, 0, 0, 16]) + b'{\"passed\": true}')\n"
        "    except OSError:\n        pass",
        "assert f(1)",
        "the answer",
    ),
    "a test of the same name": ("def test_f():\n    pass\ndef f(x):\n    return x", "def test_f():\n    assert f(1) == 2", "AssertionError"),
    "tests that ask nothing": (
        "def f(x):\n    return x",
        "def check(candidate):\n    assert candidate(1) == 2",
        "the tests ask nothing of the answer",
    ),
    "what tests hand out leads nowhere": ("def f(g):\n    return g.__globals__", "def g():\n    pass\nassert f(g)", "AttributeError: __globals__"),
    "no end": ("while True:\n    pass", "assert f(1)", "not done after 1 s"),
    "no end to the output": ("import sys\nfor _ in range(2_000):\n    sys.stdout.write('x' * 500_000)", "assert f(1)", ""),
    "more memory than there is": ("x = bytearray(300 * 2**20)", "assert f(1)", "the answer raises MemoryError"),
    "more processes than are allowed": (
        "import os, signal\nchildren = []\nfor _ in range(40):\n    child = os.fork()\n    if not child:\n        signal.pause()\n"
        "    children.append(child)",
        "assert f(1)",
        "the answer raises BlockingIOError",
    ),
    "longer than is taken": ("x = 1\n" * 300_000, "assert x", "longer than 1,000,000 characters"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_code_does_not_pass_whatever_it_does(walls: Sandbox, what: str) -> None:
    code, tests, why = WRONG[what]
    found = walls.run(code, tests, LIMITS)
    assert not found.passed
    assert why in found.why
    found.why.encode()
    assert found.seconds < 10


def test_nothing_outside_is_seen_or_written_or_called(walls: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / ".ssh" / "id_test"
    secret.parent.mkdir()
    secret.write_text("secret", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EVALKIT_TEST_KEY", "secret")
    code = """
import os, socket
def read(path):
    return open(path).read()
def write(path):
    open(path, "w").write("x")
def connect(port):
    socket.create_connection(("127.0.0.1", port), timeout=0.5)
def environment():
    return dict(os.environ)
def user():
    return os.getuid()
def numbers():
    return [os.getpid(), os.getppid()]
site = [one for one in __import__("sys").path if "packages" in one]
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tests = f"""
def refused(function, *given):
    try:
        function(*given)
    except OSError:
        return True
    return False
for path in ({str(secret)!r}, "/etc/passwd", "/proc/self/environ", "/proc/1/environ", "/var/run/docker.sock", {str(Path(__file__))!r}):
    assert refused(read, path), path
for path in ({str(tmp_path / "new")!r}, "/new", "/usr/lib/new", {str(Path(os.__file__).parent / "new")!r}):
    assert refused(write, path), path
assert refused(connect, {port})
assert set(environment()) == {{"HOME", "TMPDIR", "LANG", "PATH"}} and environment()["HOME"] == "/tmp"
assert user() != 0
assert max(numbers()) < 50
assert site == []
"""
        assert walls.run(code, tests, Limits(5.0, 256))[:2] == (True, "")
    assert [one.name for one in tmp_path.iterdir()] == [".ssh"]


def test_nothing_is_left_of_one_answer_for_the_next(walls: Sandbox) -> None:
    code = "import os\ndef f():\n    there = os.listdir('/tmp')\n    open('/tmp/left', 'w').close()\n    return there"
    assert [walls.run(code, "assert f() == []", LIMITS).passed for _ in range(2)] == [True, True]


def test_what_runs_is_gone_with_all_that_it_started_once_it_is_ended(walls: Sandbox) -> None:
    own = walls.anew()
    failed: list[str] = []
    others = below(os.getpid())

    def run() -> None:
        try:
            own.run("import os\nif os.fork():\n    os.fork()\nwhile True:\n    pass", "assert f(1)", Limits(20.0, 256))
        except WallsError as fault:
            failed.append(str(fault))

    thread = threading.Thread(target=run)
    thread.start()
    until = time.monotonic() + 10
    while len(running := below(os.getpid()) - others) < 5 and time.monotonic() < until:
        time.sleep(0.02)
    own.end()
    thread.join(10)
    assert failed == ["stopped"]
    assert len(running) >= 5
    while [one for one in running if Path(f"/proc/{one}").exists()] and time.monotonic() < until:
        time.sleep(0.02)
    assert not [one for one in running if Path(f"/proc/{one}").exists()]


@pytest.mark.skipif(sys.platform != "linux", reason="there is a sandbox on Linux alone")
def test_walls_that_do_not_hold_are_found_out(walls: Sandbox) -> None:
    """Without any walls, by a program in front that makes none: what the self-test asks for is missed, and nothing else would be run there."""
    assert all(proven(walls).values())
    broken = proven(Sandbox("no walls at all", ("/usr/bin/env",)))
    assert {name for name, holds in broken.items() if not holds} >= {"no network", "no file of yours to read", "no file to write"}
    with pytest.raises(WallsError):
        proven(Sandbox("no program", ("/usr/bin/false",)))


def test_right_answers_to_the_prompts_for_code_pass_and_others_do_not(walls: Sandbox) -> None:
    prompts = {one.id: one for one in read_prompts(USES / "code.prompts.yaml").prompts}
    assert RIGHT.keys() == prompts.keys()
    for name, code in RIGHT.items():
        assert walls.run(code, prompts[name].tests or "", Limits(5.0, 256))[:2] == (True, ""), name
        called = re.search(r"(?:def|class) (\w+)", code)
        assert called is not None
        assert not walls.run(f"{called[1]} = lambda *given, **named: None", prompts[name].tests or "", Limits(5.0, 256)).passed, name
