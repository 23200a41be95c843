"""A Modbus TCP device in Python, written from the protocol's specification (Modbus Application Protocol
V1.1b3, Modbus Messaging on TCP/IP V1.0b): the peer that tests hold in their hands. Registers are a dict;
every write is remembered in order; a unit can be silent, slow to nothing, or refuse."""

import socket
import struct
import threading


class Peer:
    def __init__(self, port=0):
        self.lock = threading.RLock()
        self.units = {}
        self.silent = set()
        self.refuse = {}  # unit -> exception code for every request
        self.refuse_writes = {}
        self.journal = []  # ("read"|"write", unit, address, values or count)
        self.changed = threading.Condition(self.lock)
        self.port = port
        self.listener = None
        self.connections = set()
        self.open()

    # --- what tests do -------------------------------------------------------------------------

    def unit(self, number, registers):
        """registers: {address: value of 16 bits}; what is not in it answers exception 2."""
        with self.lock:
            self.units[number] = dict(registers)

    def set(self, unit, address, *values):
        with self.lock:
            for i, value in enumerate(values):
                self.units[unit][address + i] = value & 0xFFFF

    def set_int32(self, unit, address, value):
        self.set(unit, address, (value >> 16) & 0xFFFF, value & 0xFFFF)

    def get_int32(self, unit, address):
        with self.lock:
            high, low = self.units[unit][address], self.units[unit][address + 1]
        return struct.unpack(">i", struct.pack(">HH", high, low))[0]

    def set_text(self, unit, address, text, registers):
        raw = text.encode().ljust(registers * 2, b"\0")
        self.set(unit, address, *struct.unpack(f">{registers}H", raw))

    def writes(self, unit=1):
        with self.lock:
            return [entry[2:] for entry in self.journal if entry[0] == "write" and entry[1] == unit]

    def forget(self):
        with self.lock:
            self.journal.clear()

    def open(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """The device loses its network: connections are reset, new ones are refused."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            gone, self.connections = self.connections, set()
        for connection in gone:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # --- the protocol --------------------------------------------------------------------------

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            while True:
                head = self.exactly(connection, 7)
                transaction, protocol, length, unit = struct.unpack(">HHHB", head)
                pdu = self.exactly(connection, length - 1)
                answer = self.answer(unit, pdu)
                if answer is not None:
                    connection.sendall(struct.pack(">HHHB", transaction, protocol,
                                                   len(answer) + 1, unit) + answer)
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(connection)
            connection.close()

    @staticmethod
    def exactly(connection, count):
        data = b""
        while len(data) < count:
            more = connection.recv(count - len(data))
            if not more:
                raise OSError("closed")
            data += more
        return data

    def answer(self, unit, pdu):
        function = pdu[0]
        with self.lock:
            if unit in self.silent:
                return None
            if unit not in self.units:
                return bytes([function | 0x80, 0x0B])
            if unit in self.refuse:
                return bytes([function | 0x80, self.refuse[unit]])
            registers = self.units[unit]
            address, = struct.unpack(">H", pdu[1:3])
            if function in (3, 4):
                count, = struct.unpack(">H", pdu[3:5])
                self.journal.append(("read", unit, address, count))
                wanted = range(address, address + count)
                if any(one not in registers for one in wanted):
                    return bytes([function | 0x80, 2])
                return bytes([function, count * 2]) + struct.pack(
                    f">{count}H", *(registers[one] for one in wanted))
            if function == 2:  # discrete inputs: what is not 0 is on
                count, = struct.unpack(">H", pdu[3:5])
                self.journal.append(("read", unit, address, count))
                wanted = range(address, address + count)
                if any(one not in registers for one in wanted):
                    return bytes([function | 0x80, 2])
                bits = sum(1 << i for i, one in enumerate(wanted) if registers[one])
                size = (count + 7) // 8
                return bytes([function, size]) + bits.to_bytes(size, "little")
            if function not in (6, 16):
                return bytes([function | 0x80, 1])
            if function == 6:
                values, echo = struct.unpack(">H", pdu[3:5]), pdu
            else:
                count, = struct.unpack(">H", pdu[3:5])
                values, echo = struct.unpack(f">{count}H", pdu[6:6 + 2 * count]), pdu[:5]
            if unit in self.refuse_writes:
                return bytes([function | 0x80, self.refuse_writes[unit]])
            if any(address + i not in registers for i in range(len(values))):
                return bytes([function | 0x80, 2])
            for i, value in enumerate(values):
                registers[address + i] = value
            self.journal.append(("write", unit, address, list(values)))
            return bytes(echo)
