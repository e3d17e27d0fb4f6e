#!/usr/bin/env python3
"""A receiver of alerts that misbehaves as it is told to, on a port of its own.

    receiver.py LOG PORT [CERT KEY]

Prints its port (0: any), then appends each request to LOG, a JSON line each. The path says how it answers: /ok, /status/429, with
?retry_after=2; /slow (the head after 2 s), /drip (a byte of the head each 0.3 s), /reset, /endless, /loop (redirects to
itself), /hang, /held (a head, and nothing of its body), /cut (half of a head), /garbage (no HTTP), /blank (a header that is
mostly white space), /much (60,000 bytes, others each time).
A first part /N-times/REST does REST the first N times a body's `id` comes, and then answers 200;
/until/NAME/REST does REST until /mend/NAME was asked for; /rarely/REST does REST the first time of one id in sixteen. `said`
of a line is the status that a good answer had, 0 where it misbehaved; `from` the other side's port.
"""
import json
import socket
import ssl
import struct
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LOCK = threading.Lock()
SEEN = {}
MENDED = set()


def identity(headers, body):
    try:
        decoded = json.loads(body)
        return headers.get("webhook-id") or (decoded.get("id") if isinstance(decoded, dict) else "") or ""
    except ValueError:
        return headers.get("webhook-id") or ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"ok", **headers):
        self.send_response(status)
        body = b"" if status == 204 else body
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def note(self, body, said):
        line = {"said": said, "path": self.path, "from": self.client_address[1], "method": self.command,
                "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body.decode("utf-8", "replace"), "time": time.time()}
        with LOCK:
            self.server.log.write(json.dumps(line) + "\n")
            self.server.log.flush()

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        names = [name for name in parts.path.split("/") if name]
        good = not names or names[0] in ("ok", "mend")
        if not good and names[0].endswith("-times"):
            key = (names[0], identity(self.headers, body))
            with LOCK:
                SEEN[key] = SEEN.get(key, 0) + 1
            good = SEEN[key] > int(names[0][:-6])
            names = names[1:]
        elif not good and names[0] == "rarely":
            key = ("rarely", identity(self.headers, body))
            with LOCK:
                good = key in SEEN or zlib.crc32(key[1].encode()) % 16 > 0
                SEEN[key] = 1
            names = names[1:]
        elif not good and names[0] == "until":
            good = names[1] in MENDED
            names = names[2:]
        elif good and names[1:] and names[0] == "mend":
            MENDED.add(names[1])
        self.note(body, 200 if good else 0)
        return self.answer(200) if good else self.misbehave(names, parse_qs(parts.query))

    def misbehave(self, names, query):
        how = names[0] if names else "ok"
        if how == "status":
            more = {"Retry_After": query["retry_after"][0]} if "retry_after" in query else {}
            return self.answer(int(names[1]), query.get("body", ["no"])[0].encode(), **more)
        if how == "slow":
            time.sleep(2)
        elif how == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(200):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.3)
            return None
        elif how in ("reset", "cut", "garbage", "hang", "held", "blank", "much", "endless", "loop"):
            return getattr(self, how)()
        return self.answer(200)

    def end(self):
        self.close_connection = True

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.end()

    def cut(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX: half")
        self.end()

    def garbage(self):
        self.wfile.write(b"\x00\x01 what is this\r\n\r\n")
        self.end()

    def hang(self):
        time.sleep(300)
        self.end()

    def held(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        self.hang()

    def blank(self):
        self.answer(200, b"", X="a" + " " * 15000 + "b")

    def much(self):
        self.answer(200, b"%060000d" % time.time_ns())

    def endless(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            self.wfile.write(b"x" * 65536)

    def loop(self):
        self.answer(302, b"", Location=self.path)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass


def main():
    server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
    server.log = open(sys.argv[1], "a", encoding="utf-8")
    if len(sys.argv) > 4:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])       # of which the first is not spoken here
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
