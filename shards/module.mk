# Images: stores, packing.
shards_SRC  := class_list.c corpus.c corpus_extra.c corpus_writer.c json_bytes.c known.c lmdb_file.c manifest.c \
               pending.c shard_reader.c shard_record.c shard_writer.c
# Labels, selections, order and feed.
shards_SRC  += eval_feed.c
shards_DEPS := common/image common/base
shards_LIBS := -llmdb -larchive
