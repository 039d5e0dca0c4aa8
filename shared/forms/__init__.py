"""Forms as data: read, checked, compiled; and the signatures that links and pages carry (docs/forms.md)."""

from shared.forms.fields import (
    ChoiceField,
    ConsentField,
    DateField,
    EmailField,
    Field,
    OrderField,
    PhoneField,
    ProductField,
    RatingField,
    TextField,
)
from shared.forms.load import TICKED, Form, FormSet, Reveal, answers_of, load_forms, seen_by_conditions
from shared.forms.signing import SHORTEST_SECRET, Link, PageToken, Receipt, Signer
from shared.forms.spec import ANYWHERE, HONEYPOT, LIMITS, FormSpec, characters

__all__ = [
    "ANYWHERE",
    "HONEYPOT",
    "LIMITS",
    "SHORTEST_SECRET",
    "TICKED",
    "ChoiceField",
    "ConsentField",
    "DateField",
    "EmailField",
    "Field",
    "Form",
    "FormSet",
    "FormSpec",
    "Link",
    "OrderField",
    "PageToken",
    "PhoneField",
    "ProductField",
    "RatingField",
    "Receipt",
    "Reveal",
    "Signer",
    "TextField",
    "answers_of",
    "characters",
    "load_forms",
    "seen_by_conditions",
]
