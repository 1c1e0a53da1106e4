"""The typed values that are stored: trials, studies, environments, confirmations.

Each is a frozen dataclass with `from_json` and `to_json`; see `tracking.records.base`.
"""

from tracking.records.base import JsonObject as JsonObject
from tracking.records.base import Record as Record
from tracking.records.base import RecordDamaged as RecordDamaged
from tracking.records.base import Values as Values
from tracking.records.base import built as built
from tracking.records.base import parsed as parsed
from tracking.records.base import to_json as to_json
from tracking.records.direction import Direction as Direction
from tracking.records.environment import UNKNOWN as UNKNOWN
from tracking.records.environment import Blas as Blas
from tracking.records.environment import Difference as Difference
from tracking.records.environment import Environment as Environment
from tracking.records.environment import Git as Git
from tracking.records.environment import differences as differences
from tracking.records.environment import no_longer_imported as no_longer_imported
from tracking.records.study import EarlierTrial as EarlierTrial
from tracking.records.study import Extended as Extended
from tracking.records.study import QueuedTrial as QueuedTrial
from tracking.records.study import SearchEnd as SearchEnd
from tracking.records.study import StudyNotes as StudyNotes
from tracking.records.study import StudyRecord as StudyRecord
from tracking.records.trial import EpochRecord as EpochRecord
from tracking.records.trial import Failure as Failure
from tracking.records.trial import PruneReason as PruneReason
from tracking.records.trial import RetriedFailure as RetriedFailure
from tracking.records.trial import SamplerAttributes as SamplerAttributes
from tracking.records.trial import Training as Training
from tracking.records.trial import TrialOutcome as TrialOutcome
from tracking.records.trial import TrialRecord as TrialRecord
from tracking.records.trial import TrialState as TrialState
