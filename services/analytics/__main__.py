"""`python -m services.analytics`"""

from services.analytics.app import build
from services.analytics.settings import AnalyticsSettings
from shared.service import serve

if __name__ == "__main__":
    serve(build, AnalyticsSettings())
