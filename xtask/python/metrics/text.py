"""Perplexity, BLEU, ROUGE, error rates."""

import jiwer
import numpy
import sacrebleu
import torch
import torchmetrics.functional.text as tm
from rouge_score.rouge_scorer import RougeScorer

from common import attempt, bf16, case, dtype_of, floats

WORDS = "the a cat dog sat on mat in house, and then; it's 3.5 1,000 $20 well-known (maybe) \"yes\" No! Straße été U.S. e.g. -5 2-3 &amp; &lt;b&gt; end. .".split(" ")


def sentence(generator, limit):
    return " ".join(generator.choice(WORDS, generator.integers(0, limit)))


def near(generator, text):
    """The text with some words changed, dropped and added."""
    words = []
    for word in text.split(" "):
        draw = generator.random()
        if draw < 0.7:
            words.append(word)
        elif draw < 0.85:
            words.extend(generator.choice(WORDS, 2))
    return " ".join(words)


def corpora():
    generator = numpy.random.default_rng(31)
    for texts, references in [(1, 1), (5, 1), (30, 1), (30, 3)]:
        for limit in [4, 25]:
            right = [[sentence(generator, limit) + " end"] for _ in range(texts)]
            for options in right:
                options.extend(near(generator, options[0]) + " x" for _ in range(references - 1))
            yield f"{texts} texts below {limit} words, {references} references", [near(generator, options[0]) for options in right], right
    yield "right", ["the cat sat on the mat"], [["the cat sat on the mat"]]
    yield "wrong", ["dog"], [["the cat sat on the mat"]]
    yield "empty prediction", [""], [["the cat"]]
    yield "repeated", ["the the the the the the the"], [["the cat is on the mat", "there is a cat on the mat"]]
    yield "lengths at one distance", ["a b c d e"], [["a b c d e f g", "a b c"]]
    yield "no text", [], []


def corpus():
    for name, predictions, references in corpora():
        expected = {}
        # If two lengths are equally close, torchmetrics takes the first one. sacreBLEU and `mteval` take the shorter
        # one.
        if predictions and all(len(options) == 1 for options in references):
            for order in [2, 4]:
                for smooth in [False, True]:
                    attempt(expected, f"bleu/{order}/{smooth}", lambda: tm.bleu_score(predictions, references, n_gram=order, smooth=smooth).double())
        if predictions:
            streams = [list(stream) for stream in zip(*references)]
            if predictions != [""]:
                attempt(expected, "sacre_bleu", lambda: sacrebleu.corpus_bleu(predictions, streams, smooth_method="none").score / 100)
                lower = sacrebleu.corpus_bleu(predictions, streams, smooth_method="none", lowercase=True).score / 100
                expected["sacre_bleu/lowercase"] = lower
            scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
            scores = [scorer.score_multi(options, prediction) for options, prediction in zip(references, predictions)]
            expected["rouge"] = [numpy.mean([score[kind][i] for score in scores]) for kind in ["rouge1", "rouge2", "rougeL"] for i in range(3)]
            firsts = [options[0] for options in references]
            attempt(expected, "wer", lambda: tm.word_error_rate(predictions, firsts).double())
            attempt(expected, "cer", lambda: tm.char_error_rate(predictions, firsts).double())
            attempt(expected, "wer", lambda: jiwer.wer([" ".join(text.split()) for text in firsts], [" ".join(text.split()) for text in predictions]))
        else:
            expected = {"bleu/4/False": 0.0, "wer": float("nan")}
        yield case(name, {"predictions": predictions, "references": references}, {}, expected)


def perplexity():
    generator = numpy.random.default_rng(32)
    for items, length, vocabulary, kind in [(1, 1, 2, "f32"), (8, 20, 50, "f32"), (8, 20, 50, "bf16")]:
        for ignore in [None, -100, 0]:
            logits, targets = 3 * floats(generator, items, length, vocabulary), generator.integers(0, vocabulary, (items, length))
            if ignore is not None and items > 1:
                targets[generator.random((items, length)) < 0.3] = ignore
            logits = bf16(logits) if kind == "bf16" else logits
            expected = {}
            call = lambda: tm.perplexity(torch.tensor(logits, dtype=torch.float64), torch.tensor(targets), ignore_index=ignore)
            attempt(expected, "perplexity", call)
            name = f"{kind} {items}x{length} of {vocabulary} ignoring {ignore}"
            yield case(name, {"logits": logits, "targets": targets}, {"ignore_index": ignore, **dtype_of(name)}, expected)


KINDS = {"text": corpus, "perplexity": perplexity}
