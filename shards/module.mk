shards_SRC  := corpus.c epoch_order.c eval_feed.c label_store.c lmdb_file.c pack.c selection.c source.c
shards_DEPS := common/image common/base
shards_LIBS := -llmdb -larchive
