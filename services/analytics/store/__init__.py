"""MongoDB of analytics: facts.py writes facts and rollups, figures.py reads figures."""
