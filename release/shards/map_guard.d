release/shards/map_guard.o: shards/map_guard.c shards/map_guard.h

shards/map_guard.h:
