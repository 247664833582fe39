release/common/train/schedule.o: common/train/schedule.c \
  common/train/schedule.h

common/train/schedule.h:
