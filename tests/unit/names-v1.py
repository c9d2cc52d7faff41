#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names v1, computed a second time, by Python's own library and from the text of the design alone.

    names-v1.py TABLE            compare every row of the table; exit 1 when one differs
    names-v1.py --write TABLE    fill the last column in
    names-v1.py --files FILE...  the name of each message file, with date 0 and UID 1, a line each
"""
import base64
import codecs
import datetime
import hashlib
import re
import sys
import unicodedata

FIELDS = (b"message-id", b"date", b"from", b"subject")
EXTRA_LABELS = {  # what Python does not know by that name
    "x-sjis": "cp932", "cp-932": "cp932", "windows-31j": "cp932", "x-gbk": "gbk", "x-euc-jp": "euc_jp", "x-cp1252": "cp1252",
    "x-koi8-r": "koi8_r", "windows-874": "cp874", "x-mac-roman": "mac_roman", "iso-8859-8-e": "iso8859-8", "iso-8859-8-i": "iso8859-8",
    "": None, "unknown-8bit": None, "x-unknown": None,
}
WIDER = {  # the charset that senders mean; None: nobody said which
    "ascii": None, "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932",
    "big5": "big5hkscs", "cp950": "big5hkscs", "iso2022_jp_1": "iso2022_jp", "iso2022_jp_2": "iso2022_jp",
}
MAIL = set("""utf-8 cp1252 iso2022_jp euc_jp cp932 gb18030 big5hkscs cp949 iso2022_kr koi8-r koi8-u cp1250 cp1251
    cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7
    iso8859-8 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 mac-roman cp437 cp850 cp852 cp866 utf-7""".split())
UNKNOWN = "unknown"


def codec_of(label):
    """The name of Python's codec, None where the label says nothing, UNKNOWN where it is not one of mail."""
    label = label.split("*")[0].lower()
    if label in EXTRA_LABELS:
        name = EXTRA_LABELS[label]
    else:
        try:
            name = codecs.lookup(label).name
        except LookupError:
            return UNKNOWN
    name = WIDER.get(name, name)
    return name if name is None or name in MAIL else UNKNOWN


def decode_jis_pair(row, cell):
    """JIS X 0208 with the rows of NEC and IBM: the index arithmetic of the WHATWG encoding standard."""
    index = (row - 0x21) * 94 + cell - 0x21
    lead, trail = divmod(index, 188)
    return bytes([lead + (0x81 if lead < 0x1F else 0xC1), trail + (0x40 if trail < 0x3F else 0x41)]).decode(
        "cp932", "replace")


def decode_iso2022_jp(data):
    if re.search(rb"\x1b(\$\(|\$A|\.)", data):
        return data.decode("iso2022_jp_2", "replace")
    text, set_ = "", b"("
    for escape, run in re.findall(rb"(\x1b\$[@B]|\x1b\(.|^)((?:(?!\x1b\$[@B]|\x1b\(.).)*)", data, re.S):
        set_ = escape or b"\x1b(B"
        if set_.startswith(b"\x1b$"):
            text += re.sub(r"([!-~])([!-~])", lambda m: decode_jis_pair(ord(m[1]), ord(m[2])),
                           run.decode("ascii", "replace"))
        elif set_ == b"\x1b(I":
            text += bytes(c | 0x80 if 0x21 <= c <= 0x5F else c for c in run).decode("cp932", "replace")
        else:
            text += run.decode("ascii", "replace")
    return text


def decode_euc_jp(data):
    if b"\x8f" in data:
        return data.decode("euc_jp", "replace")
    return "".join(
        decode_jis_pair(part[0] & 0x7F, part[1] & 0x7F) if re.fullmatch(rb"[\xa1-\xfe]{2}", part)
        else part[1:].decode("cp932", "replace") if re.fullmatch(rb"\x8e[\xa1-\xdf]", part)
        else part.decode("ascii", "replace")
        for part in re.findall(rb"[\xa1-\xfe]{2}|\x8e[\xa1-\xdf]|.", data, re.S))


def decode_bytes(data, codec):
    if codec is None:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace")
    if codec == "iso2022_jp":
        return decode_iso2022_jp(data)
    if codec == "euc_jp":
        return decode_euc_jp(data)
    return data.decode(codec, "replace")


def decode_plain(data, neighbours):
    if re.search(rb"\x1b[$(]", data):
        return decode_iso2022_jp(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    for codec in neighbours[:1]:
        text = decode_bytes(data, codec)
        if "\ufffd" not in text:
            return text
    return data.decode("cp1252", "replace")


def decode_word(encoding, text):
    """The bytes of an encoded word, leniently: binascii refuses base64 that many senders write."""
    if encoding in b"Qq":
        return re.sub(rb"=([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text.replace(b"_", b" "))
    digits = re.sub(rb"[^A-Za-z0-9+/=]", b"", text).split(b"=")[0]
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return base64.b64decode(digits + b"=" * (-len(digits) % 4))


def parts_of(value):
    """[is it from words, codec, bytes]: words of one charset side by side are one, white space between words is none."""
    parts, pos = [], 0
    for match in re.finditer(rb"=\?([^?\x00-\x20]{0,64})\?([bBqQ])\?(.*?)\?=", value, re.S):
        codec = codec_of(match[1].decode("latin-1"))
        if codec == UNKNOWN:
            continue
        plain, pos = value[pos:match.start()], match.end()
        data = decode_word(match[2], match[3])
        if plain and not (parts and not plain.strip(b" \t\r\n")):
            parts.append([False, None, plain])
        if parts and parts[-1][:2] == [True, codec]:
            parts[-1][2] += data
        else:
            parts.append([True, codec, data])
    return parts + [[False, None, value[pos:]]]


def decode_header(value):
    """RFC 2047 with the charsets of real senders."""
    parts = parts_of(value)
    text = ""
    for i, (from_words, codec, data) in enumerate(parts):
        if from_words:
            text += decode_bytes(data, codec)
        else:
            text += decode_plain(data, [near[1] for near in parts[:i][::-1] + parts[i + 1:] if near[0]])
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)


def without_piles_of_marks(text):
    """No language puts more than 30 marks in a row: the others are dropped (name.h)."""
    kept, run = [], 0
    for c in text:
        run = run + 1 if unicodedata.category(c)[0] == "M" else 0
        if run <= 30:
            kept.append(c)
    return "".join(kept)


def slug_of(subject):
    text = unicodedata.normalize("NFC", without_piles_of_marks(decode_header(subject)))
    kept = [c if unicodedata.category(c)[0] in "LN" or c in "._+@-" else "\0" for c in text]
    slug = re.sub("\0+", "-", "".join(kept)).strip("-.")[:60]
    while len(slug.encode()) > 120:
        slug = slug[:-1]
    return slug or "no-subject"


def fields_of(header):
    """The raw values of the four, unfolded and trimmed; None where there is no such field."""
    block = re.split(rb"(?:^|(?<=\n))\r?\n", header, maxsplit=1)[0][:256 * 1024]
    lines = re.sub(rb"\r?\n(?=[ \t])", b"", block).split(b"\n")
    found = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.rstrip(b" \t").lower(), value.replace(b"\0", b"").strip(b" \t\r\n"))
    return [found.get(name) for name in FIELDS]


def name_of(date, uid, header):
    values = fields_of(header)
    when = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=date)
    if values == [None] * 4:
        identity = f"u{uid}"
    else:
        digest = hashlib.sha256(b"\n".join(value or b"" for value in values)).digest()
        identity = base64.b32encode(digest).decode().lower()[:8]
    time = f"{when.year:04d}{when.month:02d}{when.day:02d}-{when.hour:02d}{when.minute:02d}{when.second:02d}"
    return f"{time}_{slug_of(values[3] or b'')}.{identity}"


def unescape(text):
    return re.sub(rb"\\(x..|.)", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else
                  {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}[m[1]], text.encode("ascii"))


def main():
    if sys.argv[1] == "--files":
        for path in sys.argv[2:]:
            with open(path, "rb") as file:
                print(path, name_of(0, 1, file.read()), sep="\t")
        return 0
    table = sys.argv[-1]
    rows, wrong, lines = 0, 0, []
    with open(table, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#") and line.strip():
                title, date, uid, header, name = line.rstrip("\n").split("\t")
                computed = name_of(int(date), int(uid), unescape(header))
                rows += 1
                if computed != name and sys.argv[1] != "--write":
                    wrong += 1
                    print(f"{title}:\n  table  {name}\n  python {computed}")
                line = "\t".join((title, date, uid, header, computed)) + "\n"
            lines.append(line)
    if sys.argv[1] == "--write":
        with open(table, "w", encoding="utf-8") as file:
            file.writelines(lines)
    print(f"{rows} names, {wrong} differ")
    return 1 if wrong or rows < 60 else 0


if __name__ == "__main__":
    sys.exit(main())
