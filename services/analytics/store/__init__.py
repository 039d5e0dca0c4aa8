"""MongoDB of analytics: facts.py writes facts and segments, compaction.py sums up, figures.py reads;
customers.py and evidence.py read the facts themselves, voice.py keeps what texts say.

packed.py owns the packed form of counts, words.py the codes of labels, places.py the ids, positions.py says
how far the partitions are counted.
"""
