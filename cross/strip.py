"""Drops from an ELF file what is never loaded: strip.py FROM TO.

The linker leaves sections there that nobody reads (.comment, and on MIPS .pdr, a table of all functions).
The section headers of what is loaded stay, for programs that look at executables."""
import struct
import sys

SHF_ALLOC, SHT_NOBITS = 2, 8


def stripped(data):
    wide = data[4] == 2
    at_offset, sizes_offset, word = (40, 58, "<Q") if wide else (32, 46, "<I")
    (section_at,) = struct.unpack_from(word, data, at_offset)
    size, count, names = struct.unpack_from("<HHH", data, sizes_offset)
    layout = "<IIQQQQIIQQ" if wide else "<10I"
    rows = [list(struct.unpack_from(layout, data, section_at + n * size)) for n in range(count)]
    loaded = [row for row in rows[1:] if row[2] & SHF_ALLOC]
    # Numbers of sections are used by others: only the last may go.
    if rows[1 : 1 + len(loaded)] != loaded:
        raise SystemExit("strip: sections that are not loaded lie between others")
    end = max(row[4] + (0 if row[1] == SHT_NOBITS else row[5]) for row in loaded)
    (table_at, table_size) = rows[names][4:6]
    body = bytearray(data[:end] + data[table_at : table_at + table_size])
    rows[names][4] = end
    body += bytes(-len(body) % 8)
    struct.pack_into(word, body, at_offset, len(body))
    struct.pack_into("<HH", body, sizes_offset + 2, len(loaded) + 2, len(loaded) + 1)
    for row in [rows[0], *loaded, rows[names]]:
        body += struct.pack(layout, *row)
    return body


with open(sys.argv[1], "rb") as file:
    before = file.read()
with open(sys.argv[2], "wb") as file:
    file.write(stripped(before))
