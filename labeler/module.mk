labeler_SRC  := audit.c label_run.c label_task.c select.c select_cut.c select_leave.c select_scan.c \
                select_ties.c undecoded.c verb_label.c verb_select.c \
                work.c work_note.c work_root.c work_table.c
labeler_SRC  += report_page.c report_read.c verb_report.c
labeler_DEPS := teacher common/train common/nn common/device common/coll shards common/image common/base
labeler_LIBS :=
