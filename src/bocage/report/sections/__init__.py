"""Material → what one section of the report shows. One section per file."""
