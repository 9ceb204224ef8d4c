"""What a technician uses: the doctor, pulses by hand, a look at the journal."""
