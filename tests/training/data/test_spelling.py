from random import Random

import pytest

from training.data.language_texts import LanguageTexts
from training.data.languages import CODES
from training.data.spelling import SPELLINGS, Spelling, in_every_spelling, respell, without_accents


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Où est la gare, s'il te plaît ?", "Ou est la gare, s'il te plait ?"),
        (
            "Größe, ŁÓDŹ, đường, \u0131s\u0131, smørrebrød, æble, cœur",
            "Grosse, LODZ, duong, isi, smorrebrod, aeble, coeur",
        ),
        ("Καλημέρα, ёлка, їжак", "Καλημερα, елка, іжак"),
        # Other scripts have marks without which a word would be another.
        ("हिन्दी が 한국어", "हिन्दी が 한국어"),
    ],
)
def test_what_an_english_keyboard_cannot_type_becomes_what_it_can(text: str, plain: str) -> None:
    assert without_accents(text) == plain


def test_every_latin_sentence_without_accents_is_ascii() -> None:
    texts = LanguageTexts().test().everyday
    for code in ("cs", "da", "de", "fi", "fr", "hu", "nb", "pl", "ro", "sv", "tr", "vi"):
        for text in texts.by_language()[CODES.index(code)]:
            assert without_accents(text).isascii(), text


def test_a_spelling_draws_as_often_as_it_says() -> None:
    def drawn(how: Spelling) -> list[str]:
        return [respell("für Ödön", "de", how, Random(seed)) for seed in range(2_000)]

    assert set(drawn(Spelling())) == {"für Ödön"}
    accents = drawn(Spelling(accents=0.5))
    assert set(accents) == {"für Ödön", "fur Odon", "fuer Oedoen"}
    assert 0.45 < accents.count("für Ödön") / 2_000 < 0.55
    assert 0.2 < accents.count("fuer Oedoen") / 2_000 < 0.3
    cases = drawn(Spelling(case=1))
    assert set(cases) == {"FÜR ÖDÖN", "für ödön", "Für Ödön"}
    assert 0.45 < cases.count("FÜR ÖDÖN") / 2_000 < 0.55


def test_every_text_is_measured_in_every_spelling() -> None:
    texts = LanguageTexts().validation().everyday
    spelt = in_every_spelling(texts)
    assert len(spelt) == len(SPELLINGS) * len(texts) == 3 * 280
    assert spelt.texts[280:560] == tuple(map(str.upper, texts.texts))
    assert (spelt.labels[560:] == texts.labels).all()
