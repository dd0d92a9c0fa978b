"""A small word-piece tokenizer of radiology English, learned from training reports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    max_tokens: int,
    patients: Sequence[Hashable] | None = None,
    least_patients: int = 1,
) -> PreTrainedTokenizerFast:
    """Learn a lower-case WordPiece vocabulary of at most `vocab_size` pieces from training texts.

    The pieces are the most frequent words, and single characters that spell every other word. (The
    library's own WordPiece trainer breaks ties differently from call to call; this is reproducible.)
    A vocabulary is saved with the model, for whoever gets it to read: words of fewer than `least_patients`
    are spelled, too, and characters beyond ASCII of fewer are unknown. `patients` are those of the texts,
    one each; without them each text counts as another's.
    Texts are wrapped as `[CLS] … [SEP]`; `max_tokens` is the length that the tokenizer truncates to.
    Raises ValueError when there is no text or the vocabulary cannot hold the characters.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    having: dict[str, set[Hashable]] = defaultdict(set)  # a word or character -> some patients, never more
    for number, text in enumerate(texts):
        patient = number if patients is None else patients[number]
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            words[word] += 1
            for piece in (word,) if word.isascii() else (word, *word):
                if len(having[piece]) < least_patients:
                    having[piece].add(patient)
    if not words:
        raise ValueError("no text to learn a vocabulary from: are findings and impression empty?")
    common = {piece for piece, some in having.items() if len(some) >= least_patients}
    characters = sorted(c for c in set("".join(words)) if c.isascii() or c in common)
    pieces = [*SPECIAL.values(), *characters, *(f"##{character}" for character in characters)]
    if len(pieces) > vocab_size:
        raise ValueError(f"vocab_size {vocab_size} cannot hold {len(pieces)} special and character pieces")
    candidates = (word for word in words if len(word) > 1 and word in common)
    by_frequency = sorted(candidates, key=lambda word: (-words[word], word))
    pieces += by_frequency[: vocab_size - len(pieces)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_tokens, **SPECIAL)
