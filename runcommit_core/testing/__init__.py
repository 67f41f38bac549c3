"""What every backend must do, as tests to inherit; needs pytest (extra ``testing``)."""

import pytest

pytest.register_assert_rewrite("runcommit_core.testing.bench")

from runcommit_core.testing.bench import Bench, local_bench  # noqa: E402  after the rewrite
from runcommit_core.testing.contract import BackendContract  # noqa: E402

__all__ = ["BackendContract", "Bench", "local_bench"]
