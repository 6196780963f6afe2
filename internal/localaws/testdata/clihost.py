"""Runs commands of the AWS CLI that this interpreter has: one for each connection to a Unix socket, whose path it prints.

The start of an interpreter and its imports are most of what a command costs, and the tests give some three hundred. A command
is a process of its own here, too: a fork of this one, which has imported everything. A request is JSON, {"args": [...],
"env": {...}}, and ends with the client's half of the connection; the answer is {"out": "...", "err": "..."}.
"""

import json
import os
import socketserver
import sys
import tempfile

import awscli.clidriver

awscli.clidriver.create_clidriver()  # for what it imports


class Command(socketserver.StreamRequestHandler):
    def handle(self):
        request = json.load(self.rfile)
        os.environ.update(request["env"])
        sys.argv[1:] = request["args"]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            try:
                awscli.clidriver.main()
            except SystemExit:
                pass  # what it printed tells
            sys.stdout.flush()
            sys.stderr.flush()
            out.seek(0)
            err.seek(0)
            answer = {"out": out.read().decode(), "err": err.read().decode()}
        self.wfile.write(json.dumps(answer).encode())


class Host(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 100
    parent = os.getppid()

    def service_actions(self):
        super().service_actions()
        if os.getppid() != self.parent:
            sys.exit("the tests were killed")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Host(os.path.join(folder, "socket"), Command) as host:
        print(host.server_address, flush=True)
        try:
            host.serve_forever()
        except KeyboardInterrupt:
            pass  # the tests have ended
