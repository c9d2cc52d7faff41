# SPDX-License-Identifier: MIT
"""A TCP proxy that misbehaves on demand, between mailfs and a server."""
import select
import socket
import struct
import threading

from common import Dovecot, Place


class Proxy:
    """
    stall()        bytes are taken from neither side any more, connections stay open, new ones are accepted
    go_on()        back to normal; what was held back flows
    cut(after, reset)    once @after more bytes went to the client, close (FIN, or RST with @reset), all sessions
    refuse() / accept()  new connections are refused (the port is closed), old ones cut
    """

    def __init__(self, port):
        self.target = port
        self.lock = threading.Condition()
        self.stalled = False  # protected by lock, like all below
        self.budget = None
        self.reset = False
        self.connections = 0
        self.sessions = set()
        self.listener = None
        self.ended = False
        self.port = 0
        self.accept()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def accept(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self.listener = listener
        threading.Thread(target=self._accept_loop, args=(listener,), daemon=True).start()

    def refuse(self):
        listener, self.listener = self.listener, None
        if listener:
            # close() alone would not wake accept().
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._cut_all(False)

    def stall(self):
        with self.lock:
            self.stalled = True

    def go_on(self):
        with self.lock:
            self.stalled = False
            self.budget = None
            self.lock.notify_all()

    def cut(self, after=0, reset=False):
        if after == 0:
            self._cut_all(reset)
            return
        with self.lock:
            self.budget, self.reset = after, reset

    def close(self):
        with self.lock:
            self.ended = True
            self.lock.notify_all()
        self.refuse()

    def _cut_all(self, reset):
        with self.lock:
            self.budget = None
            for session in list(self.sessions):
                for side in session:
                    if reset:
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    try:
                        # Wakes the pumps, which close; closing here could hit a descriptor used anew.
                        side.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def _accept_loop(self, listener):
        while True:
            try:
                client, _ = listener.accept()
                with self.lock:
                    self.connections += 1
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                if self.listener is not listener:
                    return
                try:
                    client.close()
                except (OSError, UnboundLocalError):
                    pass
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.sessions.add((client, server))
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    def _carrier(self, client, server):
        """What passes on the bytes of one side of a new session: carry(is it the client?, data), true when it is cut there."""
        def carry(from_client, data):
            if from_client:
                server.sendall(data)
                return False
            data, over = self._spend(data)
            client.sendall(data)
            return over

        return carry

    def _pump(self, client, server):
        session = (client, server)
        carry = self._carrier(client, server)
        try:
            while True:
                ready, _, _ = select.select(session, [], [])
                with self.lock:
                    while self.stalled and not self.ended:
                        self.lock.wait()
                    if self.ended:
                        return
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    if carry(source is client, data):
                        self._cut_all(self.reset)
                        return
        except OSError:
            pass
        finally:
            with self.lock:
                self.sessions.discard(session)
            for side in session:
                side.close()

    def _spend(self, data):
        with self.lock:
            if self.budget is None:
                return data, False
            if len(data) < self.budget:
                self.budget -= len(data)
                return data, False
            return data[:self.budget], True


class Line:
    """A server with these messages, a proxy before it, a place to mount."""

    def __init__(self, messages, *options, **settings):
        self.options = options
        self.server = Dovecot(**settings)
        self.server.fill(messages)
        self.server.start()
        self.proxy = Proxy(self.server.port)
        self.place = Place()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.proxy.close()
        try:
            self.place.__exit__(*args)
        finally:
            self.server.close()

    def mount(self, *options, **rest):
        url = self.server.url().replace(str(self.server.port), str(self.proxy.port))
        return self.place.mount(self.server, *self.options, *options, url=url, **rest)
