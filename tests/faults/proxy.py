"""A TCP proxy between programs and servers, which spoils what goes through it: in a thread of its own, one asyncio loop.

A Link is one kind of connection ("worker-kafka") with a mouth for each server behind it. Its faults, each from start to end:
  delay       every chunk of bytes waits
  stall       nothing goes on; what was held is delivered afterwards, late
  drop        bytes of one direction vanish, the connection stays up; at the end it is reset
  cut         every connection is reset, and new ones until the end
  half-close  one direction is ended (FIN), the other stays open; for good, for nobody resets it
and for HTTP: answer, the proxy answers each request itself."""
import asyncio
import contextlib
import socket
import struct
import threading

UP, DOWN = "up", "down"  # to the server, and back
MODES = ("delay", "stall", "drop", "cut", "half-close")
CHUNK = 65536


class Loop:
    """The proxies' event loop in its thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, function, *arguments):
        """Runs it in the loop's thread and returns its result; it does not wait for anything there."""
        async def run():
            return function(*arguments)
        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


class Connection:
    def __init__(self, mouth, client_reader, client_writer, server_reader, server_writer):
        self.mouth = mouth
        self.spoiled = set()  # directions in which bytes have vanished: nothing may follow them
        self.closed = set()   # and those that were ended, after which nothing can
        self.readers = {UP: client_reader, DOWN: server_reader}
        self.writers = {UP: server_writer, DOWN: client_writer}

    def reset(self):
        for writer in self.writers.values():
            with contextlib.suppress(OSError, AttributeError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def half_close(self, direction):
        """The receiver of this direction reads an end; what it sends still arrives."""
        self.closed.add(direction)
        with contextlib.suppress(OSError, RuntimeError):
            if self.writers[direction].can_write_eof():
                self.writers[direction].write_eof()

    async def pump(self, direction):
        reader, writer, mouth = self.readers[direction], self.writers[direction], self.mouth
        while data := await reader.read(CHUNK):
            mouth.passed[direction] += 1
            if mouth.answer is not None and direction == UP:
                self.answer(data)
                continue
            if mouth.delay:
                mouth.touched += 1
                await asyncio.sleep(mouth.delay)
            if not mouth.flowing.is_set():
                mouth.touched += 1
                await mouth.flowing.wait()
            if mouth.drop in (direction, "both"):
                mouth.touched += 1
                self.spoiled.add(direction)
            if direction in self.spoiled | self.closed:
                continue
            writer.write(data)
            await writer.drain()
        if direction not in self.spoiled | self.closed and writer.can_write_eof():
            writer.write_eof()

    def answer(self, data):
        """As many answers as there are requests (none of ours has a body)."""
        for _ in range(data.count(b"\r\n\r\n")):
            self.mouth.touched += 1
            self.writers[DOWN].write(self.mouth.answer)

    async def run(self):
        try:
            await asyncio.gather(self.pump(UP), self.pump(DOWN))
        except (OSError, RuntimeError):
            pass
        finally:
            for writer in self.writers.values():
                writer.transport.abort()


class Mouth:
    """One port that leads to one server."""

    def __init__(self, target):
        self.target, self.port, self.connections = target, None, set()
        self.delay, self.drop, self.refuse, self.answer = 0, None, False, None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.touched = 0  # how much a fault has met: chunks, connections
        self.passed = {UP: 0, DOWN: 0}

    async def listen(self):
        server = await asyncio.start_server(self.accept, "127.0.0.1", self.port or 0, limit=CHUNK)
        self.port = server.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        if self.refuse:
            self.touched += 1
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(self, reader, writer, server_reader, server_writer)
        for one in (writer, server_writer):
            with contextlib.suppress(OSError, AttributeError):
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    def reset(self, chosen=lambda _: True):
        victims = [one for one in self.connections if chosen(one)]
        for one in victims:
            one.reset()
        return len(victims)

    def start(self, mode, random):
        """Begins a fault; `random` decides the details."""
        self.touched = 0
        if mode == "delay":
            self.delay = random.uniform(0.05, 0.6)
        elif mode == "stall":
            self.flowing.clear()
        elif mode == "drop":
            self.drop = random.choice((UP, DOWN, "both"))
        elif mode == "cut":
            self.refuse = True
            self.touched += self.reset()
        elif mode == "half-close":
            direction = random.choice((UP, DOWN))
            for one in list(self.connections):
                one.half_close(direction)
                self.touched += 1
        else:
            raise ValueError(mode)

    def end(self):
        """All is well again; how much the fault has met."""
        self.delay, self.drop, self.refuse, self.answer = 0, None, False, None
        self.flowing.set()
        self.reset(lambda one: one.spoiled)
        return self.touched


class Link:
    def __init__(self, loop, name, targets):
        self.name, self.loop = name, loop
        self.mouths = [loop.call(Mouth, target) for target in targets]
        for mouth in self.mouths:
            loop.run(mouth.listen())

    @property
    def addresses(self):
        return [f"127.0.0.1:{mouth.port}" for mouth in self.mouths]

    def start(self, mode, random, mouths=None):
        for mouth in mouths or self.mouths:
            self.loop.call(mouth.start, mode, random)

    def start_answers(self, status, headers=()):
        lines = [f"HTTP/1.1 {status}", "Content-Length: 0", *headers]
        answer = ("\r\n".join(lines) + "\r\n\r\n").encode()

        def begin(mouth):
            mouth.touched, mouth.answer = 0, answer
        for mouth in self.mouths:
            self.loop.call(begin, mouth)

    def lead_to(self, target):
        """All connections from now on."""
        for mouth in self.mouths:
            mouth.target = target

    def touched(self):
        return sum(mouth.touched for mouth in self.mouths)

    def end(self):
        return sum(self.loop.call(mouth.end) for mouth in self.mouths)

    def cut(self):
        """Between two seeds: no connection of the last one stays."""
        for mouth in self.mouths:
            self.loop.call(mouth.reset)

    def passed(self, direction=UP):
        return sum(mouth.passed[direction] for mouth in self.mouths)
