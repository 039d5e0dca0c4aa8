"""MongoDB of analytics: facts.py writes facts and segments, compaction.py and summing.py sum them up;
figures.py reads sums, customers.py and evidence.py the facts themselves, voice.py keeps what texts say.

packed.py owns the packed form of counts, words.py the codes of labels, places.py the ids, positions.py says
how far the partitions are counted.
"""
