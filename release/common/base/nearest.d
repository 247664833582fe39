release/common/base/nearest.o: common/base/nearest.c \
  common/base/nearest.h

common/base/nearest.h:
