"""Serial lines for tests, over real pseudo-terminals. LibmodbusLine: every unit is served by libmodbus.
SerialPeer: a Modbus RTU server of ours that can also do what no library does: garble, dawdle, be pulled
out. Its registers, silence and refusals are those of modbus_peer.Peer; only the framing is another."""

import os
import pty
import select
import struct
import subprocess
import threading
import tty

from harness import BUILD, PATIENCE_S
from modbus_peer import Peer


class LibmodbusLine:
    """tests/peer/rtu_units.c: holding registers 0 to 399 of each unit, all 0."""

    def __init__(self, folder, *units):
        self.path = str(folder / "line")
        self.process = subprocess.Popen(
            [BUILD / "rtu_units", self.path, *map(str, units)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0)
        assert self.said() == "ready"

    def link(self, options="?baud=115200"):
        return f"rtu://{self.path}{options}"

    def said(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert ready, "the units say nothing"
        return self.process.stdout.readline().decode().strip()

    def ask(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        return self.said()

    def set_int32(self, unit, address, value):
        self.ask("set", unit, address, value >> 16 & 0xFFFF, value & 0xFFFF)

    def get_int32(self, unit, address):
        high, low = int(self.ask("get", unit, address)), int(self.ask("get", unit, address + 1))
        return struct.unpack(">i", struct.pack(">HH", high, low))[0]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) == 0
        self.process.stdout.close()


def checksum(frame):
    """Modbus over Serial Line V1.02, section 6.2.2."""
    total = 0xFFFF
    for byte in frame:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ 0xA001 if total & 1 else total >> 1
    return struct.pack("<H", total)


class SerialPeer(Peer):
    """`path` is the port's name: it stays when the adapter is pulled out and put back."""

    def __init__(self, folder):
        self.path = str(folder / "port")
        self.asked = []  # the units of all requests, in order
        self.garbage = 0  # so many answers are garbled
        self.slow = False  # answers come in single bytes
        self.master = self.slave = self.thread = None
        super().__init__()

    def link(self, options="?baud=115200"):
        return f"rtu://{self.path}{options}"

    def open(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.ended, self.ending = os.pipe()
        os.symlink(os.ttyname(self.slave), self.path + ".new")
        os.rename(self.path + ".new", self.path)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        """The adapter is pulled out."""
        if self.master is None:
            return
        os.write(self.ending, b"x")
        self.thread.join()
        os.unlink(self.path)
        for descriptor in (self.master, self.slave, self.ended, self.ending):
            os.close(descriptor)
        self.master = None

    def run(self):
        frame = b""
        while True:
            ready, _, _ = select.select([self.master, self.ended], [], [])
            if self.ended in ready:
                return
            frame += os.read(self.master, 256)
            while len(frame) >= 8:
                length = 9 + frame[6] if frame[1] >= 15 else 8
                if len(frame) < length:
                    break
                request, frame = frame[:length], frame[length:]
                assert checksum(request[:-2]) == request[-2:], "a request has a wrong checksum"
                self.reply(request[0], request[1:-2])

    def reply(self, unit, pdu):
        with self.lock:
            self.asked.append(unit)
            if unit not in self.units:
                return  # on a line, nobody speaks for those that are not there
        answer = self.answer(unit, pdu)
        if answer is None:
            return
        frame = bytes([unit]) + answer
        frame += checksum(frame)
        if self.garbage:
            self.garbage -= 1
            frame = bytes(byte ^ 0x5A for byte in frame)
        for piece in [frame[i:i + 1] for i in range(len(frame))] if self.slow else [frame]:
            os.write(self.master, piece)
            select.select([], [], [], 0.001 if self.slow else 0)
