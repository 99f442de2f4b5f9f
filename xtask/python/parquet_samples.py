"""Parquet files of pyarrow and pandas, and their rows as JSON lines: `parquet_samples.py FOLDER`.

It needs pyarrow 26.0.1 and pandas 3.1.1, which no test needs: the files are in `crates/parquet/samples`.
"""

import decimal
import json
import pathlib
import sys

import pandas
import pyarrow
import pyarrow.parquet as parquet

FOLDER = pathlib.Path(sys.argv[1])


def rows(count):
    for index in range(count):
        yield {
            "number": None if index % 7 == 3 else index * 1_000_003 - 5,
            "small": index % 200 - 100,
            "byte": index % 256,
            "large": 2**64 - 1 - index,
            "single": index / 8,
            "double": None if index % 11 == 5 else index / 7,
            "flag": None if index % 5 == 1 else index % 3 == 0,
            "text": None if index % 6 == 2 else f"größe {index % 10}",
        }


SCHEMA = pyarrow.schema([
    ("number", pyarrow.int64()), ("small", pyarrow.int8()), pyarrow.field("byte", pyarrow.uint8(), nullable=False),
    ("large", pyarrow.uint64()), ("single", pyarrow.float32()), ("double", pyarrow.float64()), ("flag", pyarrow.bool_()),
    ("text", pyarrow.string()),
])


def write(name, values, schema=SCHEMA, **options):
    values = list(values)
    table = pyarrow.Table.from_pylist(values, schema=schema)
    parquet.write_table(table, FOLDER / f"{name}.parquet", **options)
    with open(FOLDER / f"{name}.jsonl", "w") as file:
        for row in values:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    FOLDER.mkdir(exist_ok=True)
    plain = {"use_dictionary": False, "compression": "none", "write_statistics": False}
    write("plain", rows(40), **plain)
    write("dictionary-snappy", rows(100))
    write("gzip", rows(60), compression="gzip")
    write("pages-v2", rows(90), data_page_version="2.0", compression="snappy", use_dictionary=["text"],
          column_encoding={"number": "PLAIN", "flag": "RLE"})
    write("small-groups-and-pages", rows(150), row_group_size=40, data_page_size=64, write_batch_size=8)
    write("checksums", rows(20), write_page_checksum=True)
    write("empty", [])
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    nested = pyarrow.schema([("image", image), ("tokens", pyarrow.list_(pyarrow.int32())),
                             ("words", pyarrow.list_(pyarrow.string())), ("label", pyarrow.int64())])
    values = []
    for index in range(50):
        values.append({
            "image": None if index % 9 == 4 else {"bytes": list(bytes([index, 255 - index])), "path": None if index % 4 == 1 else f"{index}.png"},
            "tokens": None if index % 8 == 5 else list(range(index % 5)),
            "words": [None if word % 3 == 2 else f"w{word}" for word in range(index % 6)],
            "label": index % 3,
        })
    as_bytes = [dict(row, image=row["image"] and dict(row["image"], bytes=bytes(row["image"]["bytes"]))) for row in values]
    parquet.write_table(pyarrow.Table.from_pylist(as_bytes, schema=nested), FOLDER / "nested.parquet", data_page_size=64, write_batch_size=4)
    (FOLDER / "nested.jsonl").write_text("".join(json.dumps(row) + "\n" for row in values))
    frame = pandas.DataFrame({"text": ["ham", "spam", None], "is_spam": [False, True, False], "length": [3, 4, 0], "share": [0.5, None, 1.5]})
    frame.to_parquet(FOLDER / "pandas.parquet", index=False)
    (FOLDER / "pandas.jsonl").write_text("".join(
        json.dumps({key: None if value is None or value != value else value for key, value in row.items()}) + "\n" for row in frame.to_dict("records")))
    write("zstd", rows(5), compression="zstd")
    write("delta", rows(20), use_dictionary=False, column_encoding={"number": "DELTA_BINARY_PACKED"})
    prices = pyarrow.schema([("price", pyarrow.decimal128(9, 2))])
    parquet.write_table(pyarrow.Table.from_pylist([{"price": decimal.Decimal("1.25")}], schema=prices), FOLDER / "decimals.parquet")
    items = pyarrow.schema([("items", pyarrow.list_(pyarrow.struct([("a", pyarrow.int64())])))])
    parquet.write_table(pyarrow.Table.from_pylist([{"items": [{"a": 1}]}], schema=items), FOLDER / "structs.parquet")
    for name in ["zstd", "delta"]:
        (FOLDER / f"{name}.jsonl").unlink()


main()
