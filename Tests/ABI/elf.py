"""The dynamic section of a 64-bit little-endian ELF file: what it exports, needs and calls itself."""

import struct

SHT_DYNSYM, SHT_DYNAMIC = 11, 6
DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 14, 15, 29


class Elf:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path}: not a 64-bit little-endian ELF file")
        start, = struct.unpack_from("<Q", self.data, 0x28)
        size, count = struct.unpack_from("<HH", self.data, 0x3A)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, start + i * size) for i in range(count)]

    def _string(self, table, offset):
        begin = self.sections[table][4] + offset
        return self.data[begin : self.data.index(b"\0", begin)].decode()

    def _entries(self, kind, layout):
        for section in self.sections:
            if section[1] == kind:
                for entry in struct.iter_unpack(layout, self.data[section[4] : section[4] + section[5]]):
                    yield section[6], entry  # section[6]: the string table

    def exported(self):
        """Names of the symbols other files can bind to."""
        names = []
        for table, (name, info, _other, section, _value, _size) in self._entries(SHT_DYNSYM, "<IBBHQQ"):
            if section != 0 and info >> 4 in (1, 2):  # defined, global or weak
                names.append(self._string(table, name))
        return sorted(names)

    def dynamic(self, tag):
        return [self._string(table, value) for table, (found, value) in self._entries(SHT_DYNAMIC, "<qQ") if found == tag]
