#!/usr/bin/env python3
"""Takes messages of alerts: datagrams, streams, mail.

    sink.py LOG udp|tcp|smtp|smtp-refuses|smtp-stays
    sink.py LOG unix PATH

Prints its port (0 of a path), then appends what comes to LOG, a JSON line each: a datagram, a stream to its end, a mail
with its envelope. smtp-refuses has no such mailbox; smtp-stays has it later, and never answers QUIT.
"""
import base64
import json
import os
import socket
import sys


def note(log, **line):
    log.write(json.dumps(line) + "\n")
    log.flush()


def datagrams(log, server):
    while True:
        data = server.recv(65536)
        note(log, data=base64.b64encode(data).decode())


def streams(log, server):
    while True:
        peer, _ = server.accept()
        data = b""
        while chunk := peer.recv(65536):
            data += chunk
        note(log, data=base64.b64encode(data).decode())
        peer.close()


def one_mail(log, peer, kind):
    lines = peer.makefile("rb")
    mail = {"from": None, "to": [], "data": ""}

    def say(text):
        peer.sendall(text.encode() + b"\r\n")

    say("220 sink")
    for line in lines:
        text = line.decode().rstrip("\r\n")
        word = text[:4].upper()
        if kind == "smtp-refuses" and word == "RCPT":
            say("550 no such mailbox")
            continue
        if kind == "smtp-stays" and word in ("RCPT", "QUIT"):
            if word == "RCPT":
                say("450 later")
            continue
        if word == "MAIL":
            mail["from"] = text.split(":", 1)[1]
        elif word == "RCPT":
            mail["to"].append(text.split(":", 1)[1])
        elif word == "DATA":
            say("354 go on")
            data = []
            while (part := next(lines)) != b".\r\n":
                data.append(part.decode())
            mail["data"] = "".join(data)
            note(log, **mail)
        elif word == "QUIT":
            say("221 bye")
            return
        say("250 ok")


def mails(log, server, kind):
    while True:
        peer, _ = server.accept()
        one_mail(log, peer, kind)
        peer.close()


def main():
    log, kind = open(sys.argv[1], "a", encoding="utf-8"), sys.argv[2]
    if kind == "unix":
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(sys.argv[3])
        print(0, flush=True)
        return datagrams(log, server)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    server.bind(("127.0.0.1", 0))
    if kind != "udp":
        server.listen(16)
    print(server.getsockname()[1], flush=True)
    if kind == "udp":
        return datagrams(log, server)
    return streams(log, server) if kind == "tcp" else mails(log, server, kind)


main()
