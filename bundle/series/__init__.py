"""Series of scans registered to one of them: phases of a 4DCT, or visits of a patient."""

from bundle.series.members import Member, members_of_dicom, members_of_files
from bundle.series.results import summary_line
from bundle.series.run import register_series

__all__ = ["Member", "members_of_dicom", "members_of_files", "register_series", "summary_line"]
