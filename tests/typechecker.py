"""beartype, told that an int will do where a float is asked for (PEP 484)."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
