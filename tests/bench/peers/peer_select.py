"""The exact top N / 1000 of each of 1000 classes among N labels, by DuckDB from its own store in DIR,
which is made when it is not there. usage: peer_select.py DIR N"""
import os
import sys
import time

import duckdb

folder, n = sys.argv[1], int(sys.argv[2])
os.makedirs(folder, exist_ok=True)
path = os.path.join(folder, f'labels-{n}.duckdb')
made = os.path.exists(path)
c = duckdb.connect(path)
c.execute(f"set threads={len(os.sched_getaffinity(0))}; set memory_limit='16GB'; "
          f"set temp_directory='{folder}/spill'")
if not made:
    c.execute('create table l as select hash(i) as key, '
              'cast(floor(1000*pow(random(),1.7)) as smallint) as cls, '
              f'cast(pow(random(),.5) as float) as conf from range({n}) t(i)')
start = time.perf_counter()
c.execute('create or replace table s as select key, cls, conf from l where conf >= 0.3 '
          f'qualify row_number() over (partition by cls order by conf desc, key) <= {n // 1000}')
print(f'theirs\t{time.perf_counter() - start:.2f}')
with open('/proc/self/status', encoding='ascii') as f:
    peak = next(line.split()[1] for line in f if line.startswith('VmHWM'))
print(f'note\tDuckDB held {int(peak) / 1048576:.1f} GB')
