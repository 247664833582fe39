labeler_SRC  :=
labeler_DEPS := teacher common/train common/nn common/device common/coll shards common/image common/base
labeler_LIBS :=
