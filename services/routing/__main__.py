"""python -m services.routing"""

from services.routing.app import build
from services.routing.settings import RoutingSettings
from shared.service import serve

if __name__ == "__main__":
    serve(build, RoutingSettings())
