"""All claims of a folder's experiments in one table."""

import pandas as pd

from benchmark.experiments.sections import sections
from benchmark.results.folder import CLAIMS, Store

CLAIMS_TABLE = f"experiments/{CLAIMS}.csv"
CLAIM_COLUMNS = ["experiment", "claim", "verdict", "evidence"]


def write_claims(store: Store) -> pd.DataFrame:
    """Write experiments/claims.csv from the experiments' tables and return it.

    Its columns are `experiment`, `claim`, `verdict` and `evidence`.
    """
    shown = sections(store)
    claims = pd.DataFrame(
        [
            {"experiment": section.name, **vars(finding)}
            for section in shown
            for finding in section.findings
        ],
        columns=CLAIM_COLUMNS,
    )
    if shown:
        store.write_table(CLAIMS_TABLE, claims)
    return claims
