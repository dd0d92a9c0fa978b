from .answers import Answers as Answers
from .gallery import Gallery as Gallery, GalleryError as GalleryError, Studies as Studies
from .promises import Promises as Promises
from .retriever import Retriever as Retriever
