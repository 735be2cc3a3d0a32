"""What the open LocalStack 4.14.0 lacks, or does otherwise than AWS, as far as Musketry meets it."""
