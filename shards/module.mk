# Images: stores, packing.
shards_SRC  := class_list.c corpus.c corpus_extra.c corpus_facts.c corpus_forgotten.c corpus_writer.c json_bytes.c known.c known_sum.c lmdb_file.c \
               lmdb_bulk.c lmdb_check.c lmdb_seal.c manifest.c map_guard.c dedupe.c flat_file.c forget.c forgotten.c near_hashes.c near_index.c verb_dedupe.c verb_forget.c pack.c pack_classes.c pack_memory.c pack_pool.c pack_retry.c pack_take.c \
               pending.c quarantine.c quarantine_line.c shard_reader.c shard_record.c shard_writer.c source.c source_ahead.c source_archive.c \
               source_dir.c source_idx.c source_list.c unpack.c verb_inspect.c verb_pack.c verb_verify.c verify.c
# Leaks and lineage.
shards_SRC  += guard.c guard_claim.c lineage.c lineage_use.c lineage_walk.c pack_draw.c pack_guard.c verb_lineage.c verify_run.c verify_labels.c verify_twice.c
# Labels, selections, order and feed.
shards_SRC  += epoch_order.c eval_feed.c exporter.c f16.c feed.c feed_work.c hashed_file.c label.c label_bad.c label_reader.c label_record.c \
               label_store.c label_summary.c label_update.c label_writer.c reader_cache.c selection.c selection_writer.c \
               verb_export.c
shards_DEPS := common/image common/base
shards_LIBS := -llmdb -larchive
