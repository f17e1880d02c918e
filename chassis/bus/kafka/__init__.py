"""The bus over Kafka, by kafka-python."""
