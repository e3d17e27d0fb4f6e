"""Types at a command on a terminal of its own: what Tab makes of the beginnings of a field, a value and a key, and
what the arrow brings back. Ends with 0 if all of it is judged as it should be."""
import os
import pty
import select
import sys

DEADLINE_S = 20
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[1], sys.argv[1:])

seen = b""


def expect(words):
    """Reads until the words come, behind what was expected before."""
    global seen
    while words not in seen:
        if not select.select([fd], [], [], DEADLINE_S)[0]:
            sys.exit("waited for %r in %r" % (words, seen))
        seen += os.read(fd, 65536)
    seen = seen[seen.index(words) + len(words):]


expect(b"fluo> ")
os.write(fd, b'{ servi\t = "sho\t" }\n')
expect(b"2 spans")
expect(b"fluo> ")
os.write(fd, b'{ ["http.st\t"] = 500 }\n')
expect(b"1 span\r")
expect(b"fluo> ")
os.write(fd, b"\x1b[A\n")
expect(b"1 span\r")
expect(b"fluo> ")
# The end of input is lost, or becomes a character of the line, where it comes between the prompt and the moment when the
# line editor takes the terminal over: it is said again, on a line of its own.
for again in range(DEADLINE_S):
    os.write(fd, b"\n\x04" if again else b"\x04")
    while select.select([fd], [], [], 1)[0]:
        try:
            os.read(fd, 65536)
        except OSError:                   # it has let go of the terminal
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
sys.exit("the end of input does not end it")
