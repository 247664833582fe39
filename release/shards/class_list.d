release/shards/class_list.o: shards/class_list.c shards/class_list.h \
  common/base/err.h common/base/hash.h common/base/fs.h \
  common/base/json.h common/base/mem.h

shards/class_list.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/json.h:

common/base/mem.h:
