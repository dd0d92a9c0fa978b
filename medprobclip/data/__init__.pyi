# Names to take from the package itself, each loaded when it is first used.
from . import lookalikes as lookalikes
from .augment import TrainingViews as TrainingViews, normalise as normalise, to_float as to_float
from .chexpert import (
    coded as coded,
    label_table as label_table,
    mapping_table as mapping_table,
    other_findings as other_findings,
)
from .coding import NO_FINDING as NO_FINDING
from .correspondence import (
    group_sizes as group_sizes,
    same_coding as same_coding,
    sharing_table as sharing_table,
)
from .corruptions import CORRUPTIONS as CORRUPTIONS, SEVERITIES as SEVERITIES, corrupt as corrupt
from .dataset import SECTIONS as SECTIONS, StudyDataset as StudyDataset
from .disjoint import check_disjoint as check_disjoint
from .grey import ImageError as ImageError
from .openi import load_reports as load_reports, read_openi_reports as read_openi_reports
from .privacy import least_patients as least_patients
from .radiographs import read_image as read_image
from .report_similarity import tfidf as tfidf
from .reports import same_text as same_text, sentences as sentences
from .studies import (
    StudyTableError as StudyTableError,
    read_studies as read_studies,
    split_by_patient as split_by_patient,
)

__all__: list[str]
