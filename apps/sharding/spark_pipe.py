"""The lines of a text, through one program a partition, by Spark's pipe:

    spark-submit spark_pipe.py IN OUT PARTITIONS COMMAND...
    spark-submit spark_pipe.py hdfs:///texts.jsonl hdfs:///scores 64 larder score -m model.gguf

A partition goes to the program's stdin and its records come from stdout, in order, so that the
parts of OUT, one after another, are the whole. There is no journal: a partition that is lost (a
node, an executor, an exit code) is computed again by Spark, those that were written stay. Make them
small enough that one may be lost. The program and the model must be where the executors are.
Ids are compared, and lines are counted, inside a partition.
"""

import shlex
import sys

from pyspark.sql import SparkSession


def main() -> None:
    source, target, partitions, *command = sys.argv[1:]
    spark = SparkSession.builder.appName("larder").getOrCreate()
    # 5: all is done, and some items are error records; Spark would try them again for ever.
    program = shlex.join([*command, "-i", "-", "-o", "-", "-q"])
    run = shlex.join(["sh", "-c", program + " || [ $? -eq 5 ]"])
    lines = spark.sparkContext.textFile(source, int(partitions))
    lines.pipe(run, checkCode=True).saveAsTextFile(target)
    spark.stop()


if __name__ == "__main__":
    main()
