release/shards/corpus_extra.o: shards/corpus_extra.c \
  shards/corpus_extra.h common/base/err.h common/base/hash.h \
  common/base/fs.h common/base/json.h common/base/mem.h \
  shards/json_bytes.h

shards/corpus_extra.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/json.h:

common/base/mem.h:

shards/json_bytes.h:
