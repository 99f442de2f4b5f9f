"""Embeddings of sentences by MiniLM, calculated with NumPy from the same weights as in the example `finetune_text`.

    minilm.py WEIGHTS TABLE.json            compares the embeddings in the table with new ones
    minilm.py WEIGHTS TABLE.json --write    writes them

WEIGHTS is the folder that `cargo xtask data` makes. The table has sentences, and their tokens by Hugging Face's
`tokenizers` 0.23.3. With --write, `tokenizers` must be installed, and WEIGHTS must have tokenizer.json.
"""

import json
import math
import sys
from pathlib import Path

import numpy

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "Free entry in 2 a wkly comp to win FA Cup final tkts 21st May 2005. Text FA to 87121 to receive entry question(std txt rate)T&C's apply 08452810075over18's",
    "Ok lar... Joking wif u oni...",
    "Ünïcödé: naïve café, Ångström, İstanbul, Straße, ΣΊΣΥΦΟΣ, ﬁne",
    "東京 is 東京. 한국어 भारत העברית",
    "tab\tnew\nline\u00a0space\u3000wide\u200bzero\u0000null\ufffdbad",
    "😀 :-) £1.50 ½ x² “quoted” … — don‘t $a_b^c`d~e|f{g}",
    "pneumonoultramicroscopicsilicovolcanoconiosis " + "a" * 101 + " " + "b" * 100,
    "[CLS] [SEP] [MASK] are no tokens of a user",
    "",
]
LAYERS, HEADS, EPSILON = 6, 12, 1e-12


def read(path):
    """The tensors of a safetensors file, in float64."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)

    def tensor(entry):
        begin, end = (8 + length + at for at in entry["data_offsets"])
        return numpy.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]).astype(numpy.float64)

    return {name: tensor(entry) for name, entry in header.items() if entry["dtype"] == "F32"}


def embedding(weights, tokens):
    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / numpy.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def gelu(x):
        return x * 0.5 * (1 + numpy.vectorize(math.erf)(x / math.sqrt(2)))

    def heads(x):
        return x.reshape(len(tokens), HEADS, -1).transpose(1, 0, 2)

    e = "embeddings"
    x = weights[f"{e}.word_embeddings.weight"][tokens] + weights[f"{e}.position_embeddings.weight"][: len(tokens)]
    x = norm(x + weights[f"{e}.token_type_embeddings.weight"][0], f"{e}.LayerNorm")
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        query, key, value = (heads(linear(x, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        attended = (scores / scores.sum(-1, keepdims=True)) @ value
        attended = linear(attended.transpose(1, 0, 2).reshape(x.shape), f"{layer}.attention.output.dense")
        x = norm(x + attended, f"{layer}.attention.output.LayerNorm")
        x = norm(x + linear(gelu(linear(x, f"{layer}.intermediate.dense")), f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = x.mean(0)
    return mean / numpy.linalg.norm(mean)


def main(folder, table, write):
    weights = read(folder / "model.safetensors")
    if write:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        # In a text of a user, the names of special tokens are words.
        tokenizer.encode_special_tokens = True
        entries = []
        for text in SENTENCES:
            tokens = tokenizer.encode(text).ids
            numbers = [round(value, 7) for value in embedding(weights, tokens).tolist()]
            entries.append({"text": text, "tokens": tokens, "embedding": numbers})
        table.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")
        return
    entries = json.loads(table.read_text())
    worst = max(abs(embedding(weights, entry["tokens"]) - entry["embedding"]).max() for entry in entries)
    print(f"{len(entries)} embeddings, largest difference {worst:.1e}")
    assert worst < 1e-6, "NumPy calculates other embeddings than those in the table"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "--write" in sys.argv)
