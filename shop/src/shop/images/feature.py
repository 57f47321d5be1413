from typing import Final

from restwell.web import Feature
from shop.images import queries
from shop.images.jobs import make_thumbnails
from shop.images.routes import ImageController
from shop.images.service import ImageService
from shop.images.thumbnails import ThumbnailBuilder

images: Final = Feature(
    controllers=[ImageController], services=[ImageService, ThumbnailBuilder], jobs=[make_thumbnails], queries=[queries]
)
