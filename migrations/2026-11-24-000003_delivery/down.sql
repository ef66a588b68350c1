DROP TABLE incoming, inbox, parked_receipts, account_pace, attempts, outgoing, outgoing_content;
