"""What nothing could guess: parameters given by hand, and what services lean on.

Short on purpose: a rule in ``synthesis`` helps many operations, a row here one.
``{account}`` and ``{turn}`` are filled in; None leaves a member out.
"""

from __future__ import annotations

import json
from typing import Any

from tests.coverage.synthesis import NOWHERE, POLICY

STATES = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})

GIVEN: dict[str, dict[str, dict[str, Any]]] = {}

# Plain name -> a read of another service that answers it, in the same account.  EC2's
# come with every account; the others are made by the first that asks.
LEANS_ON: dict[str, tuple[str, str, dict[str, Any]]] = {}
