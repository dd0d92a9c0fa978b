"""Archives and tables as people have them -> study tables that train.

Each imports only from those above it:

    options.py         what can be asked, one frozen dataclass a source
    flow.py            how many studies and images each rule dropped
    columns.py         an official CSV file, plain or .gz -> columns
    chunks.py          much work in parallel, kept in pieces until all is done
    sections.py        a whole report -> its sections
    tables.py          images and texts -> one CSV file a split, and what they are from
    mimic_reports.py   MIMIC-CXR's report archive, a zip file or a folder -> texts
    mimic_cxr.py       MIMIC-CXR, as JPG or DICOM
    openi_films.py     OpenI's reports and its real radiographs
    any_table.py       any CSV table whose columns are named
"""
